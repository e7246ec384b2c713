# A person at a terminal: `terminal.py WORDS COMMAND…` runs the command on a new terminal and types one of the WORDS (JSON) each
# time that it has asked something (a line that ends in ": "). Prints how it ended, what the terminal showed, and whether it
# shows what is typed, before the first question, while the last was asked, and afterwards: JSON.
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios

# A command that hangs is a failed test, not a test that hangs.
signal.alarm(120)
words, command = json.loads(sys.argv[1]), sys.argv[2:]
ours, theirs = pty.openpty()


def echoes():
    return bool(termios.tcgetattr(theirs)[3] & termios.ECHO)


def own_terminal():
    os.setsid()
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


before = asked = echoes()
child = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, preexec_fn=own_terminal, env={**os.environ, "TERM": "dumb"})
shown = since = b""
while child.poll() is None or select.select([ours], [], [], 0.2)[0]:
    if not select.select([ours], [], [], 0.2)[0]:
        continue
    piece = os.read(ours, 65536)
    shown, since = shown + piece, since + piece
    if since.rstrip(b"\n").endswith(b": ") and words:
        asked, since = echoes(), b""
        os.write(ours, words.pop(0).encode())
json.dump({"status": child.returncode, "shown": shown.decode(), "stdout": child.stdout.read().decode(), "echo": [before, asked, echoes()]}, sys.stdout)
