"""Every test runs in checked mode: a node that writes into its inputs fails."""

import os

os.environ["SAFELIGHT_CHECKED"] = "1"
