"""Render scores as audio: labelled, or simply more music to train on.

`scores` reads scores and divides them into splits, `arrange` draws an arrangement, `sound` plays
and records it, `run` does so for many scores in parallel.

`charts` reads chord charts, `loops` composes some, `balance` draws from both. `styles` says how
bands play: `tune` is the excerpt they play from, `parts` and `melody` are what they play, `synths`
and `effects` how it sounds, `band` puts it together.
"""
