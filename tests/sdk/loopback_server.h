// An HTTP server of the test's own on a free port of the loopback: one thread, one connection at a
// time, real sockets. Reads requests with Content-Length and answers them as told.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_TESTS_SDK_LOOPBACK_SERVER_H_
#define TINYOBS_TESTS_SDK_LOOPBACK_SERVER_H_

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/base/mutex.h"

namespace tinyobs {

struct LoopbackRequest {
  std::string method;
  std::string target;  // path and query
  std::string head;    // request line and headers, as received
  std::string body;
  int connection = 0;  // 1 for the first accepted, and so on
};

struct LoopbackAnswer {
  int code = 200;
  std::string body = "";
  bool hang_up = false;      // close the connection without an answer
  bool stay_silent = false;  // never answer; ends when the client goes
};

class LoopbackServer {
 public:
  using Handler = std::function<LoopbackAnswer(const LoopbackRequest&)>;

  explicit LoopbackServer(Handler handler);
  ~LoopbackServer();
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  // "http://127.0.0.1:PORT"
  std::string url() const;
  std::vector<LoopbackRequest> requests() const;

 private:
  void Run();
  void Serve(int socket, int connection);

  const Handler handler_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};  // a pipe: closing it ends every wait
  int port_ = 0;
  mutable Mutex mutex_;
  std::vector<LoopbackRequest> requests_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

// A port of the loopback where nobody listens.
std::string UnusedUrl();

}  // namespace tinyobs

#endif  // TINYOBS_TESTS_SDK_LOOPBACK_SERVER_H_
