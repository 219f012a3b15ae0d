// Goal: the server keeps HTTP's rules and its own bounds against clients that are slow, big,
// malformed or many. Method: real sockets on loopback, bytes written by hand, timeouts of some
// milliseconds; a test waits for what the server does (an answer, end of stream), never for time.
#include "tools/serve/http_server.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/base/strings.h"

namespace tinyobs::serve {
namespace {

// A blocking client. Reads give up after 20 s, so that a hanging server fails the test.
class Client {
 public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval timeout{.tv_sec = 20, .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  Client(Client&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)),
        connected_(other.connected_),
        buffer_(std::move(other.buffer_)) {}
  ~Client() { Close(); }
  void Close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }

  void CloseSending() { ::shutdown(socket_, SHUT_WR); }

  bool connected() const { return connected_; }

  // False when the server has closed.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // One answer with its Content-Length body: head + body. "" at the end of the stream.
  std::string ReadAnswer(bool head_only = false) {
    size_t head = std::string::npos;
    while ((head = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill()) return "";
    }
    head += 4;
    size_t length = 0;
    if (const size_t at = buffer_.find("Content-Length: "); at < head && !head_only) {
      length = std::stoul(buffer_.substr(at + 16));
    }
    while (buffer_.size() < head + length) {
      if (!Fill()) break;
    }
    std::string answer = buffer_.substr(0, head + length);
    buffer_.erase(0, head + length);
    return answer;
  }
  // Packets with data so far.
  uint32_t DataSegmentsReceived() const {
    tcp_info info{};
    socklen_t size = sizeof(info);
    return getsockopt(socket_, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_data_segs_in
                                                                         : 0;
  }
  // True when the server closes without another byte.
  bool AtEnd() { return buffer_.empty() && !Fill(); }

 private:
  bool Fill() {
    char bytes[4096];
    const ssize_t got = ::recv(socket_, bytes, sizeof(bytes), 0);
    if (got <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(got));
    return true;
  }

  int socket_;
  bool connected_ = false;
  std::string buffer_;
};

// A gate that handlers wait at and tests open.
class Gate {
 public:
  void Enter() {
    MutexLock lock(&mutex_);
    ++inside_;
    changed_.NotifyAll();
    while (!open_) changed_.Wait(&mutex_);
  }
  void AwaitInside(int count) {
    MutexLock lock(&mutex_);
    while (inside_ < count) changed_.Wait(&mutex_);
  }
  void Open() {
    MutexLock lock(&mutex_);
    open_ = true;
    changed_.NotifyAll();
  }
  void Close() {
    MutexLock lock(&mutex_);
    open_ = false;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int inside_ ABSL_GUARDED_BY(mutex_) = 0;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

class HttpServerTest : public testing::Test {
 protected:
  void Start(HttpServerOptions options = {}) {
    options.counters = &counters_;
    auto server = HttpServer::Listen(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->Serve([this](const HttpRequest& request) { return Answer(request); },
                   [](const HttpRequest& request) {
                     return request.path.starts_with("/slow") ? RequestKind::kQuery
                                                              : RequestKind::kShort;
                   });
  }
  // So that no handler outlives the gate.
  void TearDown() override {
    gate_.Open();
    server_.reset();
    EXPECT_EQ(counters_.connections_open, 0);
  }

  HttpResponse Answer(const HttpRequest& request) {
    if (request.path == "/gate" || request.path == "/slow") gate_.Enter();
    HttpResponse response;
    if (request.path == "/slow") {
      response.body = request.IsAbandoned() ? "gone" : "here";
      return response;
    }
    if (request.path == "/slow-until-gone") {
      gate_.Open();
      const auto begin = std::chrono::steady_clock::now();
      while (!request.IsAbandoned() && std::chrono::steady_clock::now() - begin < kPatience) {
        std::this_thread::yield();
      }
      EXPECT_TRUE(request.IsAbandoned());
      gone_.Open();
      return response;
    }
    if (request.path == "/none") {
      response.status = 204;
      return response;
    }
    if (request.path == "/large") {
      response.body = std::string(20 << 20, 'x');
      if (charge_answers_to_ != nullptr) {
        response.memory = ByteLease(charge_answers_to_);
        EXPECT_TRUE(response.memory.Resize(response.body.size()));
      }
      return response;
    }
    if (request.path == "/host") {
      response.body = StrCat("GET /host ", request.query, " ", request.Header("Host"));
      return response;
    }
    if (request.path == "/throw") throw std::runtime_error("thrown");
    response.headers = {{"X-Test", "1"}};
    response.body = StrCat(request.method, " ", request.path, " ", request.query, " ",
                           request.Header("x-in"), " ", request.body.size());
    return response;
  }

  static std::string Get(std::string_view path, std::string_view more = "") {
    return StrCat("GET ", path, " HTTP/1.1\r\nHost: localhost\r\n", more, "\r\n");
  }

  HttpCounters counters_;
  static constexpr std::chrono::seconds kPatience{20};
  Gate gate_;
  Gate gone_;
  ByteBudget* charge_answers_to_ = nullptr;
  std::unique_ptr<HttpServer> server_;
};

bool EndsWith(const std::string& text, std::string_view end) { return text.ends_with(end); }

TEST_F(HttpServerTest, KeepsConnectionsAlive) {
  Start();
  Client client(server_->port());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.Send(Get(StrCat("/p", i, "?a=b"), "X-In: v\r\n")));
    const std::string answer = client.ReadAnswer();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_NE(answer.find("X-Test: 1\r\n"), std::string::npos);
    EXPECT_NE(answer.find("Date: "), std::string::npos);
    EXPECT_TRUE(EndsWith(answer, StrCat("GET /p", i, " a=b v 0"))) << answer;
  }
  EXPECT_EQ(counters_.connections_accepted, 1u);
}

TEST_F(HttpServerTest, ClosesWhenAsked) {
  Start();
  Client client(server_->port());
  client.Send(Get("/x", "Connection: close\r\n"));
  EXPECT_NE(client.ReadAnswer().find("Connection: close"), std::string::npos);
  EXPECT_TRUE(client.AtEnd());
  Client old(server_->port());
  old.Send("GET /x HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(EndsWith(old.ReadAnswer(), "GET /x   0"));
  EXPECT_TRUE(old.AtEnd());
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  Start();
  Client client(server_->port());
  std::string all;
  for (int i = 0; i < 50; ++i) {
    StrAppend(&all, "POST /p", i, " HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
  }
  client.Send(all);
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(EndsWith(client.ReadAnswer(), StrCat("POST /p", i, "   3")));
  }
}

TEST_F(HttpServerTest, HeadHasTheLengthButNoBody) {
  Start();
  Client client(server_->port());
  client.Send("HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n" + Get("/next"));
  const std::string head = client.ReadAnswer(/*head_only=*/true);
  EXPECT_NE(head.find(StrCat("Content-Length: ", sizeof("HEAD /h   0") - 1)), std::string::npos)
      << head;
  EXPECT_TRUE(EndsWith(client.ReadAnswer(), "GET /next   0"));
  client.Send(Get("/none"));
  EXPECT_EQ(client.ReadAnswer().find("Content-Length"), std::string::npos);
}

TEST_F(HttpServerTest, ReadsChunkedBodiesAndSendsContinue) {
  Start();
  Client client(server_->port());
  client.Send(
      "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
  EXPECT_TRUE(EndsWith(client.ReadAnswer(), "POST /c   11"));
  client.Send("POST /c HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("body");
  EXPECT_TRUE(EndsWith(client.ReadAnswer(), "POST /c   4"));
}

TEST_F(HttpServerTest, BodiesUpToTheLimitPassLargerOnesAre413) {
  Start({.max_body_bytes = 100'000});
  for (const size_t size : {99'999u, 100'000u}) {
    Client client(server_->port());
    client.Send(StrCat("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: ", size, "\r\n\r\n",
                       std::string(size, 'b')));
    EXPECT_TRUE(EndsWith(client.ReadAnswer(), StrCat("POST /b   ", size)));
  }
  // The client gets the answer although it goes on sending.
  Client client(server_->port());
  client.Send(StrCat("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n",
                     std::string(300'000, 'b')));
  EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(client.AtEnd());
  Client chunked(server_->port());
  chunked.Send(StrCat("POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                      "186a0\r\n", std::string(100'000, 'b'), "\r\n1\r\nb\r\n0\r\n\r\n"));
  EXPECT_TRUE(chunked.ReadAnswer().starts_with("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, BodiesOfAllRequestsTogetherAreBounded) {
  Start({.max_request_bytes_in_flight = 150'000});
  Client first(server_->port());
  first.Send(StrCat("POST /gate HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
                    std::string(100'000, 'b')));
  gate_.AwaitInside(1);
  Client second(server_->port());
  second.Send(StrCat("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
                     std::string(100'000, 'b')));
  const std::string refused = second.ReadAnswer();
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 503 ")) << refused;
  EXPECT_NE(refused.find("Retry-After: 1"), std::string::npos);
  gate_.Open();
  EXPECT_TRUE(first.ReadAnswer().starts_with("HTTP/1.1 200 "));
  Client third(server_->port());
  third.Send(StrCat("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
                    std::string(100'000, 'b')));
  EXPECT_TRUE(third.ReadAnswer().starts_with("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, AnswersChargedWhileTheyGrewAreChargedOnce) {
  // Room for one answer of 20 MiB, which the handler has taken already.
  ByteBudget budget(21 << 20);
  charge_answers_to_ = &budget;
  Start({.response_bytes = &budget});
  Client client(server_->port());
  for (int i = 0; i < 2; ++i) {
    client.Send(Get("/large"));
    EXPECT_EQ(client.ReadAnswer().size() >> 20, 20u);
  }
  client.Close();
  while (counters_.connections_open > 0) std::this_thread::yield();
  EXPECT_EQ(budget.used(), 0u);
  server_.reset();  // before the budget
}

TEST_F(HttpServerTest, LargeHeadersAre431) {
  Start({.max_header_bytes = 4096});
  Client client(server_->port());
  client.Send(Get("/x", StrCat("X-Large: ", std::string(200'000, 'h'), "\r\n")));
  EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 431 "));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpServerTest, MalformedHttpIs400) {
  Start();
  for (const std::string& bytes :
       {std::string("nonsense\r\n\r\n"), std::string("GET / HTTP/9.9\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nno colon\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15)}) {
    Client client(server_->port());
    client.Send(bytes);
    EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 400 ")) << bytes;
    EXPECT_TRUE(client.AtEnd());
  }
  EXPECT_EQ(counters_.requests_malformed, 6u);
}

TEST_F(HttpServerTest, ExactlyOneHostHeader) {
  Start();
  for (const std::string_view hosts : {"", "Host: a\r\nHost: a\r\n", "Host: a\r\nhost: b\r\n"}) {
    Client client(server_->port());
    client.Send(StrCat("GET / HTTP/1.1\r\n", hosts, "\r\n"));
    EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 400 ")) << hosts;
    EXPECT_TRUE(client.AtEnd());
  }
  EXPECT_EQ(counters_.requests_malformed, 3u);
}

TEST_F(HttpServerTest, AbsoluteTargetsAreServedUnderTheirAuthority) {
  Start();
  Client client(server_->port());
  client.Send("GET http://localhost:1/host?a=b HTTP/1.1\r\nHost: ignored\r\n\r\n");
  EXPECT_TRUE(EndsWith(client.ReadAnswer(), "GET /host a=b localhost:1"));
  client.Send("GET HTTP://evil.example?x HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(EndsWith(client.ReadAnswer(), "GET / x  0"));
  client.Send("GET /host HTTP/1.1\r\nHost: plain\r\n\r\n");
  EXPECT_TRUE(EndsWith(client.ReadAnswer(), "GET /host  plain"));
}

TEST_F(HttpServerTest, SlowClientsAreDisconnected) {
  Start({.header_timeout_ms = 50, .body_timeout_ms = 50, .idle_timeout_ms = 50});
  Client idle(server_->port());
  EXPECT_TRUE(idle.AtEnd());
  Client slow_header(server_->port());
  slow_header.Send("GET / HTTP/1.1\r\nHo");
  EXPECT_TRUE(slow_header.AtEnd());
  Client slow_body(server_->port());
  slow_body.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_TRUE(slow_body.AtEnd());
}

TEST_F(HttpServerTest, ClientsThatDoNotReadAreDisconnected) {
  Start({.write_timeout_ms = 50});
  Client client(server_->port());
  client.Send(Get("/large"));
  // The answer does not fit the sockets' buffers; when the server gives up, the session ends.
  while (counters_.timeouts == 0) std::this_thread::yield();
  EXPECT_GE(counters_.timeouts, 1u);
}

TEST_F(HttpServerTest, LargeAnswersArriveWhole) {
  Start();
  Client client(server_->port());
  client.Send(Get("/large"));
  EXPECT_EQ(client.ReadAnswer().size() >> 20, 20u);
}

TEST_F(HttpServerTest, FullQueueIs503AndTheConnectionLives) {
  Start({.handler_threads = 1, .handler_queue = 1});
  Client running(server_->port());
  running.Send(Get("/gate"));
  gate_.AwaitInside(1);
  // One waits in the queue, then the next is refused. Which of the two is which, the sockets
  // decide.
  Client one(server_->port());
  Client two(server_->port());
  one.Send(Get("/one"));
  two.Send(Get("/two"));
  while (counters_.requests_refused == 0) std::this_thread::yield();
  gate_.Open();
  const std::string a = one.ReadAnswer();
  const std::string b = two.ReadAnswer();
  const bool a_refused = a.starts_with("HTTP/1.1 503 ");
  EXPECT_NE(a_refused, b.starts_with("HTTP/1.1 503 ")) << a << b;
  Client& refused = a_refused ? one : two;
  refused.Send(Get("/again"));
  EXPECT_TRUE(EndsWith(refused.ReadAnswer(), "GET /again   0"));
}

TEST_F(HttpServerTest, OneConnectionTooManyIsRefused) {
  Start({.max_connections = 2});
  Client one(server_->port());
  Client two(server_->port());
  one.Send(Get("/1"));
  two.Send(Get("/2"));
  EXPECT_NE(one.ReadAnswer(), "");
  EXPECT_NE(two.ReadAnswer(), "");
  Client three(server_->port());
  EXPECT_TRUE(three.ReadAnswer().starts_with("HTTP/1.1 503 "));
  EXPECT_EQ(counters_.connections_refused, 1u);
  one.Close();
  while (counters_.connections_open > 1) std::this_thread::yield();
  Client four(server_->port());
  four.Send(Get("/4"));
  EXPECT_TRUE(EndsWith(four.ReadAnswer(), "GET /4   0"));
}

TEST_F(HttpServerTest, ABurstDoesNotPassTheLimitOfConnections) {
  Start({.io_threads = 4, .max_connections = 3});
  std::vector<Client> clients;
  for (int i = 0; i < 200; ++i) clients.emplace_back(server_->port());
  while (counters_.connections_refused + static_cast<uint64_t>(counters_.connections_open) < 200) {
    std::this_thread::yield();
  }
  EXPECT_EQ(counters_.connections_refused, 197u);
  EXPECT_EQ(counters_.connections_open, 3);
}

TEST_F(HttpServerTest, ServesManyConnectionsAtOnce) {
  Start({.io_threads = 3, .handler_queue = 1000});
  std::vector<Client> clients;
  for (int i = 0; i < 200; ++i) clients.emplace_back(server_->port());
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < clients.size(); ++i) {
      ASSERT_TRUE(clients[i].Send(Get(StrCat("/c", i, "/", round))));
    }
    for (size_t i = 0; i < clients.size(); ++i) {
      ASSERT_TRUE(EndsWith(clients[i].ReadAnswer(), StrCat("GET /c", i, "/", round, "   0")));
    }
  }
  EXPECT_EQ(counters_.responses_by_class[2], 600u);
}

TEST_F(HttpServerTest, ClientsThatVanishAreForgotten) {
  Start();
  for (int i = 0; i < 20; ++i) {
    Client client(server_->port());
    client.Send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf");
  }
  Client waiting(server_->port());
  waiting.Send(Get("/gate"));
  gate_.AwaitInside(1);
  waiting.Close();
  gate_.Open();
  while (counters_.connections_open > 0) std::this_thread::yield();
}

TEST_F(HttpServerTest, HandlersThatThrowAre500) {
  Start();
  Client client(server_->port());
  client.Send(Get("/throw"));
  EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 500 "));
}

TEST_F(HttpServerTest, StopFinishesRequestsInFlightAndClosesIdleOnes) {
  Start();
  Client idle(server_->port());
  idle.Send(Get("/i"));
  EXPECT_NE(idle.ReadAnswer(), "");
  Client busy(server_->port());
  busy.Send(Get("/gate"));
  gate_.AwaitInside(1);
  std::thread stopper([this] { server_->Stop(); });
  EXPECT_TRUE(idle.AtEnd());
  gate_.Open();
  const std::string answer = busy.ReadAnswer();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  busy.Close();
  stopper.join();
  EXPECT_FALSE(Client(server_->port()).connected());
}

TEST_F(HttpServerTest, StopDoesNotWaitForSlowClientsForEver) {
  Start({.stop_timeout_ms = 50});
  Client half(server_->port());
  half.Send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf");
  Client ready(server_->port());
  ready.Send(Get("/r"));
  EXPECT_NE(ready.ReadAnswer(), "");
  server_->Stop();
  EXPECT_TRUE(half.AtEnd());
  EXPECT_TRUE(ready.AtEnd());
}

TEST_F(HttpServerTest, SlowHandlersLearnThatTheirClientIsGone) {
  Start();
  Client client(server_->port());
  ASSERT_TRUE(client.Send(Get("/slow-until-gone")));
  gate_.Enter();  // open once the handler runs
  client.Close();
  gone_.Enter();
  // Closing one side is going, too.
  Client half(server_->port());
  ASSERT_TRUE(half.Send(Get("/slow-until-gone")));
  half.CloseSending();
  EXPECT_TRUE(half.ReadAnswer().starts_with("HTTP/1.1 200 OK\r\n"));
}

TEST_F(HttpServerTest, ClientsThatWaitOrPipelineAreNotGone) {
  Start();
  Client waits(server_->port());
  Client pipelines(server_->port());
  ASSERT_TRUE(waits.Send(Get("/slow")));
  ASSERT_TRUE(pipelines.Send(Get("/slow")));
  gate_.AwaitInside(2);
  ASSERT_TRUE(pipelines.Send(Get("/after")));
  Client other(server_->port());  // what came before it was seen
  ASSERT_TRUE(other.Send(Get("/x")));
  EXPECT_FALSE(other.ReadAnswer().empty());
  gate_.Open();
  EXPECT_TRUE(EndsWith(waits.ReadAnswer(), "here"));
  EXPECT_TRUE(EndsWith(pipelines.ReadAnswer(), "here"));
  EXPECT_TRUE(EndsWith(pipelines.ReadAnswer(), "GET /after   0"));
  // The connection goes on, and is watched again.
  ASSERT_TRUE(waits.Send(Get("/slow")));
  EXPECT_TRUE(EndsWith(waits.ReadAnswer(), "here"));
}

TEST_F(HttpServerTest, SlowRequestsWaitForEachOtherAndHoldUpNobodyElse) {
  HttpServerOptions options;
  options.io_threads = 1;
  options.handler_threads = 1;
  options.slow_handler_threads = 1;
  options.handler_queue = 1;
  Start(options);
  // One on the loop, one on the pool.
  Client on_loop(server_->port());
  ASSERT_TRUE(on_loop.Send(Get("/slow")));
  gate_.AwaitInside(1);
  Client on_pool(server_->port());
  ASSERT_TRUE(on_pool.Send(Get("/slow")));
  gate_.AwaitInside(2);
  // One of these waits, the other is refused.
  Client third(server_->port());
  Client fourth(server_->port());
  ASSERT_TRUE(third.Send(Get("/slow")));
  ASSERT_TRUE(fourth.Send(Get("/slow")));
  Client quick(server_->port());
  ASSERT_TRUE(quick.Send(Get("/x")));
  EXPECT_TRUE(EndsWith(quick.ReadAnswer(), "GET /x   0"));
  while (counters_.requests_refused == 0) std::this_thread::yield();
  gate_.Open();
  EXPECT_TRUE(EndsWith(on_loop.ReadAnswer(), "here"));
  EXPECT_TRUE(EndsWith(on_pool.ReadAnswer(), "here"));
  const std::string answers = third.ReadAnswer() + fourth.ReadAnswer();
  EXPECT_NE(answers.find("HTTP/1.1 200 OK"), std::string::npos) << answers;
  EXPECT_NE(answers.find("HTTP/1.1 503 "), std::string::npos) << answers;
}

// What makes small queries fast: nobody is woken for them, and their answers are one piece.
TEST_F(HttpServerTest, ShortQueriesStayOnTheLoopsThreadsAndAreOneWrite) {
  Start({.io_threads = 1});
  const auto count_threads = [] {
    const std::filesystem::directory_iterator all("/proc/self/task");
    return std::distance(begin(all), end(all));
  };
  const auto threads = count_threads();
  Client client(server_->port());
  constexpr int kQueries = 200;
  for (int i = 0; i < kQueries; ++i) {
    ASSERT_TRUE(client.Send(Get("/slow-not-at-all")));
    ASSERT_TRUE(EndsWith(client.ReadAnswer(), "GET /slow-not-at-all   0"));
  }
  EXPECT_EQ(count_threads(), threads) << "a pool had to start one";
  EXPECT_EQ(client.DataSegmentsReceived(), static_cast<uint32_t>(kQueries));
}

TEST_F(HttpServerTest, AQueryThatIsNotShortHoldsUpNobodyOnItsLoop) {
  Start({.io_threads = 1});
  for (int round = 0; round < 20; ++round) {
    Client slow(server_->port());
    Client other(server_->port());
    ASSERT_TRUE(slow.Send(Get("/slow")));
    gate_.AwaitInside(round + 1);
    ASSERT_TRUE(other.Send(Get("/slow-not-at-all")));
    EXPECT_TRUE(EndsWith(other.ReadAnswer(), "GET /slow-not-at-all   0"));
    gate_.Open();
    EXPECT_TRUE(EndsWith(slow.ReadAnswer(), "here"));
    gate_.Close();
  }
}

TEST_F(HttpServerTest, StoppingEndsSlowHandlers) {
  HttpServerOptions options;
  options.stop_timeout_ms = 1;
  Start(options);
  Client client(server_->port());
  ASSERT_TRUE(client.Send(Get("/slow-until-gone")));
  gate_.Enter();
  server_->Stop();
  gone_.Enter();
}

TEST(HttpServerListen, SaysWhatToDoWhenThePortIsTaken) {
  const auto first = HttpServer::Listen({});
  ASSERT_TRUE(first.ok());
  HttpServerOptions options;
  options.port = (*first)->port();
  const auto second = HttpServer::Listen(options);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
  EXPECT_NE(second.status().message().find("--web.listen-address"), std::string::npos);
  options.address = "not an address";
  EXPECT_TRUE(absl::IsInvalidArgument(HttpServer::Listen(options).status()));
  options.address = "203.0.113.1";
  EXPECT_TRUE(absl::IsInvalidArgument(HttpServer::Listen(options).status()));
}

}  // namespace
}  // namespace tinyobs::serve
