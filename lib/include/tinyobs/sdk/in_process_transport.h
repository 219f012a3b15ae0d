// Samples go straight into a database of the same process: no socket, no JSON.
#ifndef TINYOBS_SDK_IN_PROCESS_TRANSPORT_H_
#define TINYOBS_SDK_IN_PROCESS_TRANSPORT_H_

#include <memory>

#include "tinyobs/appender.h"
#include "tinyobs/sdk/transport.h"

namespace tinyobs::sdk {

// `database` (a Db, or anything that takes samples) is not owned and must outlive the client. One
// commit per Send, with the type of each metric the first time it is seen. Refused samples and the
// series limit are InvalidArgument; a full disk, an I/O error or a read-only database are
// Unavailable: they may pass.
std::unique_ptr<Transport> NewInProcessTransport(Appendable* database);

}  // namespace tinyobs::sdk

#endif  // TINYOBS_SDK_IN_PROCESS_TRANSPORT_H_
