"""Bark: from a text to speech, in four stages.

    text -> semantic tokens -> coarse tokens -> fine tokens -> sound

Numbers, windows and the order in which things are drawn are those of the published
model (suno-ai/bark), so that its checkpoints say what they say there. Each stage is a
module; `pipeline` joins those that a model has, and `executor` is what scripts use.
"""
