// Checking Status and StatusOr in tests with the message in the failure.
//
//   ASSERT_OK(file->Sync());
//   ASSERT_OK_AND_ASSIGN(auto file, file_system->CreateWritable(path));
//   EXPECT_CODE(file_system->DeleteFile(path), absl::StatusCode::kNotFound);
#ifndef TINYOBS_TESTS_TESTING_STATUS_MATCHERS_H_
#define TINYOBS_TESTS_TESTING_STATUS_MATCHERS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"

namespace tinyobs::testing {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

template <typename T>
::testing::AssertionResult IsOk(const T& result) {
  if (StatusOf(result).ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << StatusOf(result);
}

template <typename T>
::testing::AssertionResult HasCode(const T& result, absl::StatusCode code) {
  if (StatusOf(result).code() == code) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "expected " << absl::StatusCodeToString(code) << ", found " << StatusOf(result);
}

}  // namespace tinyobs::testing

#define ASSERT_OK(expression) ASSERT_TRUE(::tinyobs::testing::IsOk(expression))
#define EXPECT_OK(expression) EXPECT_TRUE(::tinyobs::testing::IsOk(expression))
#define ASSERT_CODE(expression, code) ASSERT_TRUE(::tinyobs::testing::HasCode(expression, code))
#define EXPECT_CODE(expression, code) EXPECT_TRUE(::tinyobs::testing::HasCode(expression, code))

#define TINYOBS_TEST_CONCAT_INNER_(a, b) a##b
#define TINYOBS_TEST_CONCAT_(a, b) TINYOBS_TEST_CONCAT_INNER_(a, b)
#define ASSERT_OK_AND_ASSIGN(declaration, expression) \
  ASSERT_OK_AND_ASSIGN_IMPL_(TINYOBS_TEST_CONCAT_(test_result_, __LINE__), declaration, expression)
#define ASSERT_OK_AND_ASSIGN_IMPL_(result, declaration, expression) \
  auto result = (expression);                                       \
  ASSERT_OK(result);                                                \
  declaration = *std::move(result)

#endif  // TINYOBS_TESTS_TESTING_STATUS_MATCHERS_H_
