"""Figures: everything that is counted is folded from the diary, so that a report can be checked by hand.

fold      facts → one record a call, with its one outcome (pure)
window    records → tallies → metrics by their ID; rolling 24 hours; days in China (pure)
live      the same figures, kept up to date fact by fact for the screens (pure)
reports   `hotline report sla`: one window of the diary, with a verdict
calls     `hotline calls`: the calls themselves
"""
