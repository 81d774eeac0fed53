#!/usr/bin/env python3
"""Tests of what `compare` judges. Run: python3 bench/instructions/test_compare.py"""

import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

LOADER = SourceFileLoader("compare", str(Path(__file__).with_name("compare")))
compare = module_from_spec(spec_from_loader("compare", LOADER))
LOADER.exec_module(compare)


class Judge(unittest.TestCase):
    def test_up_to_the_margin_nothing_is_said(self):
        self.assertEqual(compare.judge({"up": 100.0, "down": 100.0}, {"up": 102.9, "down": 97.1}), ([], []))

    def test_above_it_is_worse(self):
        worse, notes = compare.judge({"a": 1000.0, "b": 5.0}, {"a": 1031.0, "b": 5.0})
        self.assertEqual(worse, ["a: 1000.0 before, 1031.0 now, +3.1%"])
        self.assertEqual(notes, [])

    def test_what_is_better_or_new_is_noted(self):
        worse, notes = compare.judge({"a": 100.0}, {"a": 90.0, "b": 7.0})
        self.assertEqual(worse, [])
        self.assertEqual(notes, ["a: 100.0 before, 90.0 now, -10.0%", "b: new, 7.0"])

    def test_what_is_no_longer_counted_is_worse(self):
        self.assertEqual(compare.judge({"a": 1.0}, {}), (["a: counted before, at 1.0, and gone"], []))


class Summary(unittest.TestCase):
    def test_it_is_read_as_gungraun_writes_it(self):
        totals = {"metrics": {"Ir": {"values": {"new": 1001, "old": 2000}}}, "regressions": []}
        bench = {"group": "ws", "function_name": "echo", "id": "b32", "profiles": [{"data": {"parts": [], "total": totals}}]}
        self.assertEqual(compare.per_message(bench, 100), ("ws.echo.b32", 10.0))


if __name__ == "__main__":
    unittest.main()
