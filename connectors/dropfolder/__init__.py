# SPDX-License-Identifier: Apache-2.0
"""The drop folder: for agencies whose systems can write and read files and nothing else."""
