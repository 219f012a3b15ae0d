// The one door to Boost.Asio and Boost.Beast, so that every file sees them configured alike.
//
// Asio puts memory fences around handlers. ThreadSanitizer does not understand fences, and GCC
// refuses to compile them with it; the mutex of Asio's scheduler orders the same memory, so the
// sanitizer build goes without.
#ifndef TINYOBS_TOOLS_SERVE_ASIO_H_
#define TINYOBS_TOOLS_SERVE_ASIO_H_

#if defined(__SANITIZE_THREAD__)
#define BOOST_ASIO_DISABLE_FENCED_BLOCK 1
#endif

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#endif  // TINYOBS_TOOLS_SERVE_ASIO_H_
