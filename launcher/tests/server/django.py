import os
import sys

with open(os.path.join(os.path.dirname(__file__), "imports"), "a") as imports:
    # `_WORD` of the configuration that is being read, if one is.
    frame = sys._getframe()
    while frame and "_wait_for_the_word" != frame.f_code.co_name:
        frame = frame.f_back
    print(os.getpid(), "with a word" if frame else "without a word", file=imports)


def setup():
    pass
