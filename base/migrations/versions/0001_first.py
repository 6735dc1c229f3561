"""The first database: diary, agents, recordings, and what Asterisk reads of the agents.

The SQL of the views is written out here instead of taken from `telephony.realtime`: a version is
history, and must make the same database after that module has changed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_VIEWS = (
    """
CREATE VIEW ps_endpoints AS
SELECT
    number AS id,
    number AS aors,
    number AS auth,
    'agents' AS context,
    '<' || number || '>' AS callerid,
    'username' AS identify_by,
    'all' AS disallow,
    'alaw,ulaw' AS allow,
    'no' AS direct_media,
    'yes' AS rtp_symmetric,
    'yes' AS force_rport,
    'yes' AS rewrite_contact,
    'rfc4733' AS dtmf_mode,
    'ef' AS tos_audio,
    'zh' AS language,
    'no' AS trust_id_inbound,
    'no' AS allow_subscribe,
    'no' AS allow_transfer,
    '1' AS device_state_busy_at,
    '15' AS rtp_keepalive,
    '120' AS rtp_timeout,
    '3600' AS rtp_timeout_hold
FROM agent
""",
    """
CREATE VIEW ps_auths AS
SELECT
    number AS id,
    'md5' AS auth_type,
    number AS username,
    md5_cred AS md5_cred,
    'hotline' AS realm
FROM agent
""",
    """
CREATE VIEW ps_aors AS
SELECT
    number AS id,
    '1' AS max_contacts,
    'yes' AS remove_existing,
    '30' AS qualify_frequency,
    '3.0' AS qualify_timeout,
    '30' AS minimum_expiration,
    '120' AS default_expiration,
    '600' AS maximum_expiration
FROM agent
""",
    """
CREATE VIEW queue_members AS
SELECT
    number AS uniqueid,
    'fallback' AS queue_name,
    'PJSIP/' || number AS interface,
    number AS membername,
    'PJSIP/' || number AS state_interface,
    '0' AS penalty,
    '0' AS paused,
    '' AS reason_paused,
    'no' AS ringinuse
FROM agent
WHERE intent = 'ready'
OR (intent = 'paused' AND NOT EXISTS (SELECT 1 FROM agent WHERE intent = 'ready'))
""",
)


def upgrade() -> None:
    """Make the tables of version 0.1 and the views for Asterisk."""
    op.create_table(
        "diary",
        sa.Column("id", _ROW_ID, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("call", sa.String(80), nullable=False),
        sa.Column("agent", sa.String(16), nullable=False),
        sa.Column("more", sa.JSON, nullable=False),
    )
    op.create_index("diary_kind_at", "diary", ["kind", "at"])
    op.create_index("diary_call", "diary", ["call"])
    op.create_index("diary_at", "diary", ["at"])
    op.create_table(
        "agent",
        sa.Column("number", sa.String(8), primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("md5_cred", sa.String(32), nullable=False),
        sa.Column("intent", sa.String(8), nullable=False),
        sa.Column("pause_reason", sa.String(80), nullable=False),
        sa.Column("intent_at", sa.BigInteger, nullable=False),
        sa.Column("added_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "recording",
        sa.Column("call", sa.String(80), primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("duration", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("finished_at", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    for view in _VIEWS:
        op.execute(view.strip())
