// The HTTP transport against a real socket: what it sends, and what each answer means.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sdk/loopback_server.h"
#include "tinyobs/labels.h"
#include "tinyobs/sdk/http_client.h"

namespace tinyobs::sdk {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class HttpTransportTest : public ::testing::Test {
 protected:
  absl::Status Send(Transport& transport) {
    const OutgoingSample sample = {&labels_, MetricKind::kCounter, 1'700'000'000'123, 1.5};
    return transport.Send({&sample, 1});
  }
  std::unique_ptr<Transport> New(const std::string& url, std::string key = "",
                                 int64_t timeout_ms = 5000) {
    auto transport = NewHttpTransport({url + "/v1/ingest", std::move(key), timeout_ms});
    EXPECT_TRUE(transport.ok()) << transport.status();
    return *std::move(transport);
  }
  absl::Status StatusFor(int code, const std::string& body) {
    LoopbackServer server(
        [&](const LoopbackRequest&) { return LoopbackAnswer{.code = code, .body = body}; });
    return Send(*New(server.url()));
  }

  const Labels labels_ = Labels::Of("requests_total", {{"method", "GET"}, {"service", "shop"}});
};

TEST_F(HttpTransportTest, PostsTheSamplesAsJsonOverOneConnection) {
  LoopbackServer server([](const LoopbackRequest&) {
    return LoopbackAnswer{.body = R"({"status":"success","count":1})"};
  });
  auto transport = New(server.url(), "secret");
  ASSERT_TRUE(Send(*transport).ok());
  ASSERT_TRUE(Send(*transport).ok());
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].method, "POST");
  EXPECT_EQ(requests[0].target, "/v1/ingest");
  EXPECT_THAT(requests[0].head, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(requests[0].head, HasSubstr("Authorization: Bearer secret\r\n"));
  EXPECT_THAT(requests[0].head, Not(HasSubstr("Expect:")));
  EXPECT_THAT(requests[0].body, HasSubstr(R"("name":"requests_total")"));
  EXPECT_THAT(requests[0].body, HasSubstr(R"("type":"counter")"));
  EXPECT_THAT(requests[0].body, HasSubstr(R"("method":"GET")"));
  EXPECT_THAT(requests[0].body, HasSubstr("\"timestamp\":\"2023-11-14T22:13:20.123Z\""));
  EXPECT_EQ(requests[1].connection, 1) << "the connection was not used again";
}

TEST_F(HttpTransportTest, NoKeyMeansNoAuthorizationHeader) {
  LoopbackServer server([](const LoopbackRequest&) { return LoopbackAnswer{}; });
  ASSERT_TRUE(Send(*New(server.url())).ok());
  EXPECT_THAT(server.requests().at(0).head, Not(HasSubstr("Authorization")));
}

TEST_F(HttpTransportTest, ServerErrorsAndOverloadAreUnavailable) {
  for (const int code : {429, 500, 502, 503, 507}) {
    EXPECT_TRUE(absl::IsUnavailable(StatusFor(code, ""))) << code;
  }
}

TEST_F(HttpTransportTest, ClientErrorsAreFinalAndCarryTheServersMessage) {
  const absl::Status refused = StatusFor(
      400, R"({"error":"Bad Request","message":"invalid metric at index 3: too many labels"})");
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("invalid metric at index 3"));
  EXPECT_TRUE(absl::IsPermissionDenied(StatusFor(401, "")));
  EXPECT_TRUE(absl::IsFailedPrecondition(StatusFor(404, "404 page not found")));
  EXPECT_TRUE(absl::IsFailedPrecondition(StatusFor(302, "")));
}

TEST_F(HttpTransportTest, HugeAndBinaryAnswersStayHarmless) {
  const absl::Status status = StatusFor(400, "\x01\xff" + std::string(100'000, 'x'));
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_LT(status.message().size(), 500u);
  EXPECT_TRUE(absl::IsUnavailable(StatusFor(400, std::string(3'000'000, 'x'))));
  EXPECT_TRUE(absl::IsInvalidArgument(StatusFor(400, R"({"message":"never closed \)")));
}

TEST_F(HttpTransportTest, NobodyListeningIsUnavailable) {
  const absl::Status status = Send(*New(UnusedUrl()));
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1"));
}

TEST_F(HttpTransportTest, SilenceEndsAtTheTimeout) {
  LoopbackServer server([](const LoopbackRequest&) { return LoopbackAnswer{.stay_silent = true}; });
  EXPECT_TRUE(absl::IsUnavailable(Send(*New(server.url(), "", 100))));
}

TEST_F(HttpTransportTest, ConnectionLostIsMadeAgain) {
  int count = 0;
  LoopbackServer server(
      [&count](const LoopbackRequest&) { return LoopbackAnswer{.hang_up = ++count == 1}; });
  auto transport = New(server.url());
  EXPECT_TRUE(absl::IsUnavailable(Send(*transport)));
  EXPECT_TRUE(Send(*transport).ok());
}

TEST_F(HttpTransportTest, BadEndpointsAndKeysAreRefused) {
  for (const char* const endpoint : {"", "localhost:8080", "ftp://host/x", "file:///etc/passwd",
                                     "http://", "http://a b/", "http://host/\r\nX: y"}) {
    const auto transport = NewHttpTransport({endpoint, "", 5000});
    EXPECT_TRUE(absl::IsInvalidArgument(transport.status())) << endpoint;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(
      NewHttpTransport({"http://localhost/", "key\r\nX: y", 5000}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(NewHttpTransport({"http://localhost/", "", 0}).status()));
}

TEST_F(HttpTransportTest, ClientDeliversThroughIt) {
  LoopbackServer server([](const LoopbackRequest&) { return LoopbackAnswer{}; });
  Config config;
  config.service = "shop";
  config.endpoint = server.url() + "/v1/ingest";
  auto client = NewHttpClient(config);
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE((*client)->Start().ok());
  (*client)->counter("orders_total").Inc({{"method", "card"}});
  ASSERT_TRUE((*client)->Stop().ok());
  ASSERT_FALSE(server.requests().empty());
  EXPECT_THAT(server.requests().back().body, HasSubstr(R"("name":"orders_total")"));
}

}  // namespace
}  // namespace tinyobs::sdk
