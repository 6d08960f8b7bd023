"""Tests of `expert.report.document`."""

from __future__ import annotations

from helpers.reports import both_reports, texts_of

from expert.explanation import Notice
from expert.report.document import Figures, Paragraph
from expert.report.report import compose


def test_both_reports_hold_the_same_content(explanation, model, tmp_path):
    note = Notice(code="range_limit", message="It is at the end.", severity="note")
    explanation = explanation.model_copy(update={"warnings": (*explanation.warnings, note)})
    report = compose(explanation, model=model.info)
    texts = [report.headline, report.aside, report.lead, report.origin]
    texts += [remark.text for remark in report.warnings]
    assert "Note: It is at the end." in texts
    for section in report.sections:
        texts.append(section.title)
        for block in section.blocks:
            if isinstance(block, Paragraph):
                texts.append(block.text)
            elif isinstance(block, Figures):
                texts += [
                    text for figure in block.figures for text in (figure.caption, figure.note)
                ]
                texts += [text for figure in block.figures for text in texts_of(figure.drawing)]
            else:
                texts += [column.title for column in block.columns] + [
                    cell.text for row in block.rows for cell in row
                ]
    assert len(texts) > 300
    page, pdf = both_reports(explanation, tmp_path, model=model.info)
    for text in texts:
        words = " ".join(text.split())
        assert words in page
        assert words in pdf
