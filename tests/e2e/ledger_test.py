"""The comparison behind the durability test sees every way to break the promise."""

import unittest

import ledger

A = (("__name__", "a"),)
B = (("__name__", "b"), ("job", "x"))


class LedgerTest(unittest.TestCase):
    def setUp(self):
        self.book = ledger.Ledger()
        self.book.acknowledged(self.book.sent([(A, 1, 0.1), (B, 1, 0.0)]))
        self.book.sent([(A, 2, 5.0), (B, 2, 6.0)])  # in flight when the server died
        self.kept = {(A, 1): 0.1, (B, 1): 0.0}

    def differences(self):
        return self.book.differences(self.kept)

    def test_acknowledged_alone_is_right(self):
        self.assertEqual(self.differences(), [])

    def test_the_unacknowledged_request_may_be_there_whole(self):
        self.kept.update({(A, 2): 5.0, (B, 2): 6.0})
        self.assertEqual(self.differences(), [])

    def test_in_part_is_wrong(self):
        self.kept[A, 2] = 5.0
        self.assertIn("there in part", self.differences()[0])

    def test_a_missing_sample_is_wrong(self):
        del self.kept[B, 1]
        self.assertIn("acknowledged but missing", self.differences()[0])

    def test_the_last_bit_of_a_value_counts(self):
        self.kept[A, 1] = 0.1 + 2**-56
        self.assertEqual(len(self.differences()), 1)

    def test_the_sign_of_zero_counts(self):
        self.kept[B, 1] = -0.0
        self.assertEqual(len(self.differences()), 1)

    def test_another_value_of_an_unacknowledged_sample_is_wrong(self):
        self.kept.update({(A, 2): 5.5, (B, 2): 6.0})
        self.assertEqual(len(self.differences()), 1)

    def test_another_time_or_other_labels_are_wrong_twice(self):
        self.kept[A, 3] = self.kept.pop((A, 1))
        self.assertEqual(len(self.differences()), 2)

    def test_what_was_never_sent_is_wrong(self):
        self.kept[(("__name__", "b"),), 1] = 0.0
        self.assertIn("never sent", self.differences()[0])

    def test_the_same_sample_in_two_requests_is_a_bug_of_the_test(self):
        self.book.sent([(A, 1, 0.1)])
        self.assertIn("sent", self.differences()[0])

    def test_sent_again_and_acknowledged_it_must_be_there(self):
        self.book.acknowledged(1)
        self.assertEqual(len(self.differences()), 2)


if __name__ == "__main__":
    unittest.main()
