"""A synthetic corpus in IEMOCAP's layout, free of any licence: for trying, testing and showing.

Its signals are real (speech, sentences, moving faces), its people are not: results on it say
nothing about people. See `plan` for what each clip shows, and `layout` for where it goes.
"""

from emohop.synthetic.synthesis import Synthesis, synthesize

__all__ = ["Synthesis", "synthesize"]
