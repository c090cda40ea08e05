/* The border between outrigger and liboutrigger_grpc.so.
 *
 * gRPC costs a process 6 MiB and 42 shared objects as soon as it is linked. So it is not linked: who
 * configures it gets a module that is loaded with dlopen(), and everybody else has none of it. Plain
 * C, because program and module may carry different copies of every C++ library.
 *
 * Functions are called by one thread at a time. Strings are copied. */

#ifndef OUTRIGGER_GRPC_MODULE_ABI_H
#define OUTRIGGER_GRPC_MODULE_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes with every change below. */
#define OUTRIGGER_GRPC_ABI 1

/* The module's only symbol, of type OutriggerGrpcEntry. */
#define OUTRIGGER_GRPC_ENTRY "outrigger_grpc_module"

typedef struct OutriggerGrpcHealth OutriggerGrpcHealth;

typedef struct OutriggerGrpcModule {
  uint32_t abi;
  /* Serves grpc.health.v1.Health (Check, Watch) at host:port or unix:/path on threads of its own;
   * `port` receives the port that was bound. No service is known before its first set_health().
   * Null: it could not, and `error` says why. */
  OutriggerGrpcHealth* (*start_health)(const char* address, int* port, char* error,
                                       size_t error_size);
  /* Those who watch are told when it changes. */
  void (*set_health)(OutriggerGrpcHealth* server, const char* service, int is_serving);
  /* Ends calls that are running and frees `server`. */
  void (*stop_health)(OutriggerGrpcHealth* server);
} OutriggerGrpcModule;

typedef const OutriggerGrpcModule* (*OutriggerGrpcEntry)(void);

#ifdef __cplusplus
}
#endif

#endif
