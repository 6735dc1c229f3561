"""Webhooks: facts to other programs.

seal    encrypts addresses and secrets
sender  takes facts from the diary, signs, sends, tries again
tables  webhooks and deliveries
"""
