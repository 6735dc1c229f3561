"""The routes of the API, by subject.

auth       who is asking, and may they: cookies, tokens, CSRF, sign-in
live, facts, people, queues, callbacks, calls, webhooks, admin   the routes
"""
