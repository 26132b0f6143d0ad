import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the modules of this folder are importable by their names
