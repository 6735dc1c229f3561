"""Screens and the HTTP API: what happens now, pushed to the browser; everything the screens do, for programs too.

app        the application: pages, errors, security headers, audit; read it first
auth       who is asking, and may he: cookies, tokens, CSRF, sign-in
rights     roles, rights, and what is masked for whom (pure)
accounts   accounts, sessions and tokens in the database
audit      who did what, and for how long that is kept
backend    what routes work with: database, controller, feed
feed       one reader of Redis, fanned out to every screen
sender     webhooks leave from here
limit      rate limits (pure)
live, facts, people, queues, callbacks, calls, webhooks, admin   the routes
static     the pages; no script or style is in a page itself
"""
