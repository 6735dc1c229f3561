"""How long an agent's password is, for `hotline check`; and phones' keys and texts.

Keys are heard in the sound, too, if the phone does not offer RFC 4733, and a text (MESSAGE) reaches no dialplan. The
SQL of the view is written out here: a version is history (see 0001).
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_PHONES = """
CREATE VIEW ps_endpoints AS
SELECT
    number AS id,
    number AS aors,
    number AS auth,
    'agents' AS context,
    'nothing' AS message_context,
    '<' || number || '>' AS callerid,
    'username' AS identify_by,
    'all' AS disallow,
    'alaw,ulaw' AS allow,
    'no' AS direct_media,
    'yes' AS rtp_symmetric,
    'yes' AS force_rport,
    'yes' AS rewrite_contact,
    'auto' AS dtmf_mode,
    'ef' AS tos_audio,
    'zh' AS language,
    'no' AS trust_id_inbound,
    'no' AS allow_subscribe,
    'yes' AS allow_transfer,
    '1' AS device_state_busy_at,
    '15' AS rtp_keepalive,
    '120' AS rtp_timeout,
    '3600' AS rtp_timeout_hold,
    'DYNAMIC_FEATURES=silent' AS set_var
FROM agent
"""


def upgrade() -> None:
    """Add the column, and make the view of the agents' phones again."""
    op.add_column("agent", sa.Column("password_length", sa.Integer, nullable=True))
    op.execute("DROP VIEW ps_endpoints")
    op.execute(_PHONES.strip())
