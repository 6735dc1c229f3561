"""`hotline demo`: a whole centre with simulated citizens and agents on a real Asterisk.

play    the day: who calls, who answers, what is compared at the end
screen  what the terminal shows, in Chinese and English
"""
