"""Scripted softphones: they register, call, answer, hold, transfer, speak tones and measure what they hear.

The demo and the live tests use them. They need the extra `demo` (baresip).

phones  agents' and citizens' phones, over SIP and RTP
"""
