"""Figures: everything that is counted is folded from the diary, so that a report can be checked by hand.

fold          facts → one record a call, with its one outcome; one an attempt of a callback (pure)
window        records → tallies → metrics by their ID; rolling 24 hours (pure)
people        agents' facts → time signed in and breaks: M10 (pure)
sums          tallies by queue, number and agent; any stretch of time from slots, hours and days (pure)
callbacks     callbacks' facts → M20; 呼入优先 → M22 (pure)
settled       ids of calls whose facts are gone, in eight bytes each (pure)
live          the same figures, kept up to date fact by fact for the screens (pure)
rollup        tallies written down, corrected by late facts, and read
condensed     minutes of days, agents' months: what the report of a year reads
rows          a row of a roll-up, and the lock of its writers
reports       `hotline report`
verify        `hotline metrics verify`: counted again, and compared
completeness  `hotline recordings audit`: is every answered second on record?
hints         which calls a person should listen to, from facts and from who spoke when
due           retention: which recordings are due by the rules, and the daily run
exporter      figures for Prometheus; `prometheus/` has the rules and the dashboard
calls         `hotline calls`: the calls themselves
search        calls by what is known of them, for the screens
traits        what calls are searched by
older         the traits of calls that arrived before there were any
tables        roll-ups, long waits, incidents, traits
"""
