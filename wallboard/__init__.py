"""Screens: what happens now, pushed to the browser.

app     the pages and the stream behind them; reads Redis only, so that a screen never delays a call
static  the page: one file, no library
"""
