"""`python -m ringmoe VERB`, and with it `torchrun -m ringmoe pretrain`."""

import sys

from ringmoe.cli import main

sys.exit(main())
