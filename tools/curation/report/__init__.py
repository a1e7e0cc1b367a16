"""One page, without a network, that shows what a curation dropped and why: facts, samples, charts, the page."""

from scratchgrad.tools.curation.report.page import write_report_page

__all__ = ["write_report_page"]
