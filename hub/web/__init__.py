# SPDX-License-Identifier: Apache-2.0
"""How requests reach the services: authentication, handlers of three lines, the websocket, health and metrics."""
