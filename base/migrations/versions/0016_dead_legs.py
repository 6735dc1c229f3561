"""A silent leg is no dead one: agents' phones are no more hung up for sending no sound (RTP).

Session timers end a leg whose phone is gone (RFC 4028). The SQL of the view is written out here: a version is history
(see 0001).
"""

from alembic import op

revision = "0016"
down_revision = "0015"

_PHONES = """
CREATE VIEW {view} AS
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
    'always' AS timers,
    '90' AS timers_min_se,
    '90' AS timers_sess_expires,
    'DYNAMIC_FEATURES=silent' AS set_var{more}
FROM agent
"""


_MORE = {
    "ps_endpoints": "",
    "ps_endpoints_srtp": """,
    'sdes' AS media_encryption,
    'yes' AS media_encryption_optimistic""",
    "ps_endpoints_tls": """,
    'transport-tls' AS transport,
    'sdes' AS media_encryption""",
}


def upgrade() -> None:
    """Make the views of the agents' phones again."""
    for view, more in _MORE.items():
        op.execute(f"DROP VIEW {view}")
        op.execute(_PHONES.strip().format(view=view, more=more))
