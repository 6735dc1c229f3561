"""How an agent's softphone proves who it is: digest sign-in (RFC 3261 section 22, RFC 2617)."""

import hashlib

SIP_REALM = "hotline"
"""The realm in the agents' digest (RFC 3261 section 22); fixed, because the stored hash contains it."""


def md5_cred(number: str, password: str) -> str:
    """Make what Asterisk compares a softphone's answer with: hex MD5 of `number:realm:password`.

    This is H(A1) of RFC 2617 section 3.2.2.2. It is stored instead of the password, but it is enough to sign in with:
    keep it as secret as a password. Raises `UnicodeEncodeError` for text that is not Unicode.
    """
    secret = f"{number}:{SIP_REALM}:{password}".encode()
    return hashlib.md5(secret, usedforsecurity=False).hexdigest()  # SIP leaves no choice of hash
