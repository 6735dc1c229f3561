"""Figures: everything that is counted is folded from the diary, so that a report can be checked by hand.

fold      facts → one record a call, with its one outcome; one an attempt of a callback (pure)
window    records → tallies → metrics by their ID; rolling 24 hours; days in China (pure)
people    agents' facts → time signed in and breaks: M10 (pure)
sums      tallies by queue, number and agent; any stretch of time from slots, hours and days (pure)
callbacks callbacks' facts → M20; 呼入优先 → M22 (pure)
live      the same figures, kept up to date fact by fact for the screens (pure)
period    days, weeks and months by name (pure)
alarms    when a figure or a part of the centre needs somebody (pure)
rollup    tallies written down, corrected by late facts, and read
reports   `hotline report sla`: one window of the diary, with a verdict, as text, JSON and CSV
formats   all forms of a report by name: also page (HTML, PDF) and sheets (XLSX)
calls     `hotline calls`: the calls themselves
search    calls by what is known of them, for the screens
"""
