// The admin part of Prometheus' HTTP API, as of 2.42, with POST and PUT:
//
//   /api/v1/admin/tsdb/delete_series?match[]=SELECTOR...&start=&end=    204
//   /api/v1/admin/tsdb/snapshot      {"status":"success","data":{"name":"20260131T120000Z-..."}}
//   /api/v1/admin/tsdb/clean_tombstones                                 204
//
// Only with --web.enable-admin-api, as they delete data and fill disks; else 503.
//
// Deleting takes samples out of the chunks at once (Db::Delete), so there are no tombstones to
// clean, and the route that does it has nothing to do.
//
// A snapshot is a database of its own in DIR/snapshots/NAME, DIR being the server's: --storage.path
// of another tinyobs-serve, after it was copied or moved. Its files count as the server's, against
// TINYOBS_MAX_STORAGE_GB, until it is moved out of there. `skip_head` is not taken: what is not yet
// in chunks is a part of every snapshot.
//
// Thread-safety: the handlers are thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_PROMETHEUS_ADMIN_H_
#define TINYOBS_TOOLS_SERVE_PROMETHEUS_ADMIN_H_

#include "tools/serve/handler_context.h"
#include "tools/serve/routes.h"

namespace tinyobs::serve {

// `context` must outlive the router.
void AddAdminRoutes(Router* router, const HandlerContext* context);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_PROMETHEUS_ADMIN_H_
