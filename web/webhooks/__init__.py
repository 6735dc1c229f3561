"""Webhooks: facts to other programs.

outside  where they may be sent to
seal     encrypts addresses and secrets
sender   takes facts from the diary, signs, sends, tries again
tables   webhooks and deliveries
"""
