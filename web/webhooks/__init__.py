"""Webhooks: facts to other programs.

sender   takes facts from the diary, signs, sends, tries again
outside  where they may be sent to
tables   webhooks and deliveries
"""
