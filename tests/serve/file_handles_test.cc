// Goal: connections never take the file handles that the database needs. Method: the rule at its
// edges, and the limit of this process.
#include "tools/serve/file_handles.h"

#include <sys/resource.h>

#include <algorithm>

#include "gtest/gtest.h"

namespace tinyobs::serve {
namespace {

TEST(MaxConnections, LeavesHandlesForTheDatabase) {
  EXPECT_EQ(MaxConnections(0), 16u);
  EXPECT_EQ(MaxConnections(640), 16u);
  EXPECT_EQ(MaxConnections(656), 16u);
  EXPECT_EQ(MaxConnections(657), 17u);
  EXPECT_EQ(MaxConnections(1024), 384u);
  EXPECT_EQ(MaxConnections(1663), 1023u);
  EXPECT_EQ(MaxConnections(1664), 1024u);
  EXPECT_EQ(MaxConnections(65'536), 1024u);
  EXPECT_EQ(MaxConnections(UINT64_MAX), 1024u);
}

TEST(RaiseHandleLimit, RaisesTheSoftLimitOnly) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlim_t hard = before.rlim_max;
  rlimit low = before;
  low.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const uint64_t raised = RaiseHandleLimit();
  rlimit after{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, raised);
  EXPECT_EQ(raised, std::min<rlim_t>(hard, 65'536));
  EXPECT_EQ(after.rlim_max, hard);
}

}  // namespace
}  // namespace tinyobs::serve
