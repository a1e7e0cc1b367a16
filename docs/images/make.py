"""Draw the pictures of chapter 4 again, that of the player with Chromium: python docs/images/make.py"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from selenium import webdriver

from scratchgrad import Tensor, draw, manual_seed, nn, play_backward
from scratchgrad import functional as F

HERE = Path(__file__).parent


class Net(nn.Module):
    def __init__(self) -> None:
        self.first, self.second = nn.Linear(3, 4, std=0.5), nn.Linear(4, 2, std=0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = F.tanh(self.first(x))
        return self.second(h) + h[:, :2]


manual_seed(1)
net = Net()


def loss() -> Tensor:
    net.zero_grad()
    out = net(Tensor(np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)))
    return F.mse_loss(out, np.ones((5, 2), np.float32))


root = loss()
picture = draw(root)
root.backward()
picture.save(HERE / "draw.png")
with TemporaryDirectory() as folder:
    options = webdriver.ChromeOptions()
    for flag in ("headless", "no-sandbox", "disable-gpu", "hide-scrollbars", f"user-data-dir={folder}/profile"):
        options.add_argument(f"--{flag}")
    options.binary_location = shutil.which("chromium")
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    browser.set_window_size(1280, 940)
    play_backward(loss).save(Path(folder, "backward.html"))
    browser.get(Path(folder, "backward.html").as_uri())
    for _ in range(4):
        browser.find_element("id", "next").click()
    browser.save_screenshot(str(HERE / "player.png"))
    browser.quit()
