"""Words, an optional extra: what was said in a recording, and hints for a person to listen (`hotline transcribe`).

transcript  words with their places in a recording, as they are kept and shown (pure)
syllables   words → syllables without tones, each with its place (pure)
phrases     the list of phrases: 服务禁语, greetings, how fast one should speak (pure)
hints       where a listed phrase was heard, whether the greeting is missing, speech rate (pure)
plan        at which hours it works (pure)
model       the folder of the model: made of the extra's packages, compared with a pinned hash
hearing     sound → words: each side by itself, in constant memory
shelf       the tables of transcripts and hints: what is due, enter, read
night       the loop of `hotline transcribe`
*.toml      服务禁语, to be edited

A hint is no finding and no score. A machine that hears one syllable in fifty wrong has heard something, and says where
to listen. Transcripts are as private as the sound: they are sealed with the recording's own key, and go with it.
"""
