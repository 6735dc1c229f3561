"""Agents' channels have the key *0, for a caller who says nothing (R20).

The SQL of the view is written out here: a version is history (see 0001).
"""

from alembic import op

revision = "0004"
down_revision = "0003"

_PHONES = """
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
    '3600' AS rtp_timeout_hold,
    'DYNAMIC_FEATURES=silent' AS set_var
FROM agent
"""


def upgrade() -> None:
    """Make the view of the agents' phones again."""
    op.execute("DROP VIEW ps_endpoints")
    op.execute(_PHONES.strip())
