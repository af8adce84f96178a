# SPDX-License-Identifier: Apache-2.0
"""`throughcare doctor`: looks at everything that a connector needs, and says of each fault how to mend it.

It changes nothing, and works beside a running connector. What it looks at comes in the order of a start: files and
keys, the store, the way to the hub, the directory, what waits. A step that cannot be taken is said to be skipped.
"""

from connectors.config import ConnectorSection
from connectors.doctor.backupkey import examine_backup_key
from connectors.doctor.dropped import examine_drop
from connectors.doctor.files import examine_disk, examine_keys, examine_left, examine_secrets, examine_store
from connectors.doctor.network import examine_hub
from connectors.doctor.running import examine_running
from connectors.doctor.standing import examine_standing
from connectors.dropfolder.settings import DropSection
from connectors.timing import Clock, system_clock
from keys.folderfinding import CHECK as FOLDER_CHECK
from protocol.diagnosis import Finding, fine, skipped, warning
from protocol.http.skipping import SkippingClock
from protocol.settings import Profile


async def examine(
    settings: ConnectorSection, clock: Clock = system_clock, *, drop: DropSection | None = None
) -> list[Finding]:
    """Look at one installation and its hub; `clock` gives ms UTC, and a demo's `clock_file` how far that is ahead."""
    if settings.clock_file is not None:
        clock = SkippingClock(settings.clock_file, clock)
    found = [_profile(settings), *examine_secrets(settings), examine_disk(settings.data_dir)]
    found += examine_left(settings.data_dir)
    found.append(examine_drop(drop or DropSection(), settings.data_dir))
    keys, installation = examine_keys(settings)
    found.append(keys)
    store = examine_store(settings.data_dir)
    found.append(store)
    found += examine_running(settings.data_dir)
    if installation is None:
        return [*found, skipped("hub", "Which hub it is stands in the enrolment."), _nothing_known()]
    found += examine_backup_key(settings.data_dir, installation)
    hub, ahead = await examine_hub(settings, installation, clock)
    found += hub
    if store.fix is not None or any(one.check == FOLDER_CHECK for one in found):
        return [*found, _nothing_known()]
    return [*found, *await examine_standing(settings, installation, clock, ahead)]


def _profile(settings: ConnectorSection) -> Finding:
    if settings.profile is Profile.DEMO:
        fix = "For trials only. For real work enrol anew, without --demo, at a hub that was not made under demo either."
        return warning("configuration", "The profile is demo.", fix)
    return fine("configuration", "The file is valid; the profile is production.")


def _nothing_known() -> Finding:
    return skipped("directory", "Keys and store are needed to look at directory, prekeys and mail.")
