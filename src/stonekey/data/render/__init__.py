"""Render scores as audio: labelled, or simply more music to train on.

`scores` reads scores and divides them into splits, `arrange` draws an arrangement, `sound` plays
and records it, `run` does so for many scores in parallel.
"""
