"""Webhooks: facts to other programs.

sender  takes facts from the diary, signs, sends, tries again
tables  webhooks and deliveries
"""
