// A sum with its rounding error beside it: what Prometheus sums with (Kahan's idea as improved by
// Neumaier), without the branch.
//
// Both keep the exact error of each addition, as long as nothing overflows; where Neumaier looks
// which of the two numbers is larger, Knuth's two-sum needs six additions and no comparison.
//
// Source: Knuth, The Art of Computer Programming 2, section 4.2.2, theorem B; Neumaier,
// "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", ZAMM 54 (1974).
//
// Thread-safety: plain data.
#ifndef TINYOBS_LIB_PROMQL_COMPENSATED_SUM_H_
#define TINYOBS_LIB_PROMQL_COMPENSATED_SUM_H_

namespace tinyobs::promql {

struct CompensatedSum {
  double sum = 0;
  double error = 0;  // of `sum`; NaN once that is not finite

  void Add(double value) {
    const double total = sum + value;
    const double added = total - sum;
    error += (sum - (total - added)) + (value - added);
    sum = total;
  }
  void Merge(const CompensatedSum& other) {
    Add(other.sum);
    error += other.error;
  }
  double Total() const { return sum + error; }
};

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_COMPENSATED_SUM_H_
