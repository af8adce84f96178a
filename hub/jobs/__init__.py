# SPDX-License-Identifier: Apache-2.0
"""What the hub does by itself, because time has passed."""
