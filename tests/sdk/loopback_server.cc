#include "tests/sdk/loopback_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "lib/base/check.h"

namespace tinyobs {
namespace {

// A socket bound to a free port of the loopback.
int BoundSocket(int* port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  TINYOBS_CHECK(fd >= 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  TINYOBS_CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  TINYOBS_CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  *port = ntohs(address.sin_port);
  return fd;
}

size_t ContentLength(const std::string& head) {
  for (size_t line = 0; line != std::string::npos; line = head.find("\r\n", line)) {
    if (line != 0) line += 2;
    if (strncasecmp(head.c_str() + line, "content-length:", 15) == 0) {
      return static_cast<size_t>(std::atol(head.c_str() + line + 15));
    }
    if (line == 0) line = 1;
  }
  return 0;
}

}  // namespace

LoopbackServer::LoopbackServer(Handler handler) : handler_(std::move(handler)) {
  listener_ = BoundSocket(&port_);
  TINYOBS_CHECK(listen(listener_, 16) == 0);
  TINYOBS_CHECK(pipe(wake_) == 0);
  thread_ = std::thread([this] { Run(); });
}

LoopbackServer::~LoopbackServer() {
  close(wake_[1]);
  thread_.join();
  close(wake_[0]);
  close(listener_);
}

std::string LoopbackServer::url() const { return "http://127.0.0.1:" + std::to_string(port_); }

std::vector<LoopbackRequest> LoopbackServer::requests() const {
  MutexLock lock(&mutex_);
  return requests_;
}

void LoopbackServer::Run() {
  for (int connection = 1;; ++connection) {
    pollfd waits[2] = {{listener_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
    poll(waits, 2, -1);
    if (waits[1].revents != 0) return;
    const int socket = accept(listener_, nullptr, nullptr);
    if (socket < 0) continue;
    Serve(socket, connection);
    close(socket);
  }
}

void LoopbackServer::Serve(int socket, int connection) {
  std::string received;
  char buffer[16384];
  const auto read_more = [&] {
    pollfd waits[2] = {{socket, POLLIN, 0}, {wake_[0], POLLIN, 0}};
    poll(waits, 2, -1);
    if (waits[1].revents != 0) return false;
    const ssize_t count = recv(socket, buffer, sizeof(buffer), 0);
    if (count <= 0) return false;
    received.append(buffer, static_cast<size_t>(count));
    return true;
  };
  while (true) {
    size_t end;
    while ((end = received.find("\r\n\r\n")) == std::string::npos) {
      if (!read_more()) return;
    }
    LoopbackRequest request;
    request.head = received.substr(0, end + 2);
    request.connection = connection;
    request.method = request.head.substr(0, request.head.find(' '));
    const size_t target = request.method.size() + 1;
    request.target = request.head.substr(target, request.head.find(' ', target) - target);
    const size_t total = end + 4 + ContentLength(request.head);
    while (received.size() < total) {
      if (!read_more()) return;
    }
    request.body = received.substr(end + 4, total - end - 4);
    received.erase(0, total);
    {
      MutexLock lock(&mutex_);
      requests_.push_back(request);
    }
    const LoopbackAnswer answer = handler_(request);
    if (answer.hang_up) return;
    if (answer.stay_silent) {
      while (read_more()) {
      }
      return;
    }
    const std::string bytes = "HTTP/1.1 " + std::to_string(answer.code) +
                              " X\r\nContent-Length: " + std::to_string(answer.body.size()) +
                              "\r\n\r\n" + answer.body;
    if (send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) return;
  }
}

std::string UnusedUrl() {
  int port = 0;
  close(BoundSocket(&port));
  return "http://127.0.0.1:" + std::to_string(port);
}

}  // namespace tinyobs
