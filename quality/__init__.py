"""Quality (质检): people assess a sample of the calls, agents may appeal, a card a month shows each agent (R47, R48).

sample      which calls are drawn, and who assesses which (pure)
scorecard   points, weights and knock-outs; a filled-in sheet → a score (pure)
states      the life of one assessment as a table: state and event → state (pure)
monthly     one agent's month: every sum with the calls that it is made of (pure)
shown       the monthly card as text, JSON, CSV, XLSX and HTML
population  the week's talks that may be drawn, folded from the diary
draws       a week is drawn once, stored, and can be drawn again by anybody
book        assessments in the database: tasks, scores, appeals, decisions, history
weekly      the loop of `hotline recorder` that draws last week, if the centre wants that
tables      the tables

A draw takes talks, not calls: a call that two agents answered can be drawn for each of them. What is drawn follows from
the seed, the week and the calls alone, so an agent, an auditor or a court can draw it again. Who assesses sees neither
the agent nor an earlier score. Nothing of an assessment is ever overwritten: each event is a row that stays.
"""
