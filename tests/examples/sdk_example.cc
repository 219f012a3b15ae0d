#include <cstdio>

#include "tinyobs/sdk/http_client.h"

int main(int argc, char** argv) {
  auto client = tinyobs::sdk::NewHttpClient(
      {.service = "shop", .endpoint = argc > 1 ? argv[1] : "http://localhost:8080/v1/ingest"});
  if (!client.ok()) return std::puts(client.status().ToString().c_str()), 1;
  if (!(*client)->Start().ok()) return 1;

  auto& orders = (*client)->counter("orders_total");
  auto& seconds = (*client)->histogram("order_seconds");
  for (int i = 0; i < 100; ++i) {
    orders.Inc({{"payment", i % 4 == 0 ? "card" : "cash"}});
    seconds.Observe(i * 0.01);
  }
  const absl::Status sent = (*client)->Stop();  // sends what is left
  std::printf("%s\n", sent.ToString().c_str());
  return sent.ok() ? 0 : 1;
}
