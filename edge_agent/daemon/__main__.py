"""`python -m edge_agent.daemon`: the agent without the command line's libraries in memory.

`edge-agent run` ends up here, in the same process. The settings file is the only argument.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Final

from edge_agent.config import find_config, in_memory, load
from edge_agent.daemon.agent import Agent
from edge_agent.daemon.logs import start_logging
from edge_agent.daemon.refuge import is_read_only, leave_refuges, take_refuge
from edge_agent.daemon.tls_files import unusable_files
from edge_agent.errors import ShoalError
from edge_agent.store.files import make_folder
from edge_agent.store.lock import StateLock

log: Final = logging.getLogger("edge_agent.daemon")


def main(arguments: list[str]) -> int:
    """Run the agent. Returns the exit status.

    Args:
        arguments: the settings file, or nothing for the usual places.
    """
    try:
        path = Path(arguments[0]) if arguments else find_config(os.environ)
        settings = load(path, os.environ)
        start_logging(settings.agent.log_level)
        for unusable in unusable_files(settings):
            log.warning("event=certificate_unusable text=%r hint=%r", unusable.text, unusable.hint)
        # What is written holds results and passwords; not the folder alone should keep them.
        os.umask(0o077)
        # Two agents on one state directory would undo each other's work.
        state_dir = Path(settings.agent.state_dir)
        if is_read_only(state_dir):
            settings = in_memory(settings, take_refuge(state_dir))
            with StateLock(Path(settings.agent.state_dir)):
                return Agent(settings, os.environ).run()
        with StateLock(make_folder(state_dir)):
            leave_refuges(state_dir)
            return Agent(settings, os.environ).run()
    except ShoalError as error:
        sys.stderr.write(f"error: {error.text}\n")
        if error.hint:
            sys.stderr.write(f"what to do: {error.hint}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
