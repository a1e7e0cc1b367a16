"""Draw docs/images/curation-report.png, the beginning of a report, with Chromium:

scratchgrad-curate --out runs/curated-code
python docs/images/curation.py runs/curated-code
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium import webdriver

with TemporaryDirectory() as folder:
    options = webdriver.ChromeOptions()
    for flag in ("headless", "no-sandbox", "disable-gpu", "hide-scrollbars", f"user-data-dir={folder}/profile"):
        options.add_argument(f"--{flag}")
    options.binary_location = shutil.which("chromium")
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    size = {"width": 1100, "height": 1690, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get((Path(sys.argv[1]) / "report.html").resolve().as_uri())
    browser.save_screenshot(str(Path(__file__).parent / "curation-report.png"))
    browser.quit()
