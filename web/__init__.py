"""Screens and the HTTP API: what happens now, pushed to the browser. Programs can do everything that the screens do.

app       the application: pages, errors, security headers, audit; read it first
api       the routes, and who may use them
accounts  accounts, rights, audit
webhooks  facts to other programs
backend   what routes work with: database, controller, feed
feed      one reader of Redis, fanned out to every screen
server    the HTTP server, which ends requests that do not come whole
recheck   who reads an open stream may change: look again
limit     rate limits (pure)
once      a request with an Idempotency-Key is done once
front     the pages' scripts and styles
static    the pages; no script or style is in a page itself
"""
