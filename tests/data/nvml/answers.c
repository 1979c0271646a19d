/* A library that answers as it was told, built against NVIDIA's published nvml.h.
 *
 * The file named by NVML_ANSWERS holds lines "key value". A key is the number of the board, the
 * function and what tells its numbers apart; a function without one is not supported. "N.lost",
 * "N.fail.FUNCTION CODE" and "hang FUNCTION" are what goes wrong. It exists so that the binding's
 * structures meet the compiler's, which a driver simulated in Python cannot show.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include "nvml.h"

#define LINES_MAX 4096
#define KEY_MAX 160

static char keys[LINES_MAX][KEY_MAX], values[LINES_MAX][KEY_MAX];
static int lines, started, events_told;

static void load(void) {
    FILE *file = fopen(getenv("NVML_ANSWERS"), "r");
    if (!file) abort();
    lines = 0;
    while (lines < LINES_MAX && fscanf(file, "%159s %159[^\n]", keys[lines], values[lines]) == 2) lines++;
    fclose(file);
}

static const char *text(const char *key) {
    for (int at = 0; at < lines; at++)
        if (!strcmp(keys[at], key)) return values[at];
    return NULL;
}

static const char *about(long board, const char *function, const char *part) {
    char key[KEY_MAX];
    snprintf(key, sizeof key, "%ld.%s%s%s", board, function, *part ? "." : "", part);
    return text(key);
}

static long long number(long board, const char *function, const char *part) {
    const char *found = about(board, function, part);
    return found ? strtoll(found, NULL, 10) : 0;
}

static nvmlReturn_t entered(const char *function) {
    const char *hung = text("hang");
    if (hung && !strcmp(hung, function))
        for (;;) pause();
    return started ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

static long board_of(nvmlDevice_t device) { return (long)device - 1; }

static nvmlReturn_t asked(nvmlDevice_t device, const char *function) {
    nvmlReturn_t code = entered(function);
    if (code) return code;
    long board = board_of(device);
    if (board < 0 || board >= number(-1, "count", "")) return NVML_ERROR_INVALID_ARGUMENT;
    if (about(board, "lost", "")) return NVML_ERROR_GPU_IS_LOST;
    return (nvmlReturn_t)number(board, "fail", function);
}

#define ASKED(function) do { nvmlReturn_t code_ = asked(device, function); if (code_) return code_; } while (0)
#define NEEDS(function, part) do { if (!about(board_of(device), function, part)) return NVML_ERROR_NOT_SUPPORTED; } while (0)
#define TOLD(function, part) number(board_of(device), function, part)

#define TEXT(function) \
    nvmlReturn_t function(nvmlDevice_t device, char *out, unsigned int size) { \
        ASKED(#function); NEEDS(#function, ""); \
        snprintf(out, size, "%s", about(board_of(device), #function, "")); return NVML_SUCCESS; }
#define NUMBER(function, type) \
    nvmlReturn_t function(nvmlDevice_t device, type *out) { \
        ASKED(#function); NEEDS(#function, ""); *out = (type)TOLD(#function, ""); return NVML_SUCCESS; }
#define PAIR(function, type) \
    nvmlReturn_t function(nvmlDevice_t device, type *first, type *second) { \
        ASKED(#function); NEEDS(#function, "0"); \
        *first = (type)TOLD(#function, "0"); *second = (type)TOLD(#function, "1"); return NVML_SUCCESS; }
#define CHOICE(function, kind, type) \
    nvmlReturn_t function(nvmlDevice_t device, kind which, type *out) { \
        char part[16]; snprintf(part, sizeof part, "%u", (unsigned)which); \
        ASKED(#function); NEEDS(#function, part); *out = (type)TOLD(#function, part); return NVML_SUCCESS; }

/* The host. */
nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    load();
    nvmlReturn_t refused = (nvmlReturn_t)number(-1, "refuse", "");
    if (!refused) started++;
    return refused;
}
nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvmlReturn_t nvmlShutdown(void) {
    if (!started) return NVML_ERROR_UNINITIALIZED;
    started--;
    return NVML_SUCCESS;
}
const char *nvmlErrorString(nvmlReturn_t code) {
    static char words[32];
    snprintf(words, sizeof words, "error %d", (int)code);
    return words;
}
nvmlReturn_t nvmlSystemGetDriverVersion(char *out, unsigned int size) {
    snprintf(out, size, "%s", about(-1, "driver", ""));
    return entered("nvmlSystemGetDriverVersion");
}
nvmlReturn_t nvmlSystemGetNVMLVersion(char *out, unsigned int size) {
    snprintf(out, size, "%s", about(-1, "library", ""));
    return entered("nvmlSystemGetNVMLVersion");
}
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = (unsigned)number(-1, "count", "");
    return entered("nvmlDeviceGetCount_v2");
}
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    if (index >= number(-1, "count", "")) return NVML_ERROR_INVALID_ARGUMENT;
    if (about(index, "lost", "")) return NVML_ERROR_GPU_IS_LOST;
    *device = (nvmlDevice_t)(long)(index + 1);
    return entered("nvmlDeviceGetHandleByIndex_v2");
}
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    for (unsigned index = 0; index < number(-1, "count", ""); index++) {
        const char *own = about(index, "nvmlDeviceGetUUID", "");
        if (own && !strcmp(own, uuid)) return nvmlDeviceGetHandleByIndex_v2(index, device);
    }
    return NVML_ERROR_NOT_FOUND;
}

/* Identity, and what is one number or one text. */
TEXT(nvmlDeviceGetName)
TEXT(nvmlDeviceGetUUID)
TEXT(nvmlDeviceGetSerial)
TEXT(nvmlDeviceGetBoardPartNumber)
TEXT(nvmlDeviceGetVbiosVersion)
TEXT(nvmlDeviceGetInforomImageVersion)
NUMBER(nvmlDeviceGetModuleId, unsigned int)
NUMBER(nvmlDeviceGetPersistenceMode, nvmlEnableState_t)
PAIR(nvmlDeviceGetEccMode, nvmlEnableState_t)
PAIR(nvmlDeviceGetMigMode, unsigned int)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, unsigned int)
NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, unsigned int)
PAIR(nvmlDeviceGetPowerManagementLimitConstraints, unsigned int)
NUMBER(nvmlDeviceGetPerformanceState, nvmlPstates_t)
NUMBER(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, unsigned int)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, unsigned int)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, unsigned int)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, unsigned int)
NUMBER(nvmlDeviceGetRetiredPagesPendingStatus, nvmlEnableState_t)
NUMBER(nvmlDeviceGetSupportedEventTypes, unsigned long long)
PAIR(nvmlDeviceGetEncoderUtilization, unsigned int)
PAIR(nvmlDeviceGetDecoderUtilization, unsigned int)
PAIR(nvmlDeviceGetJpgUtilization, unsigned int)
PAIR(nvmlDeviceGetOfaUtilization, unsigned int)
CHOICE(nvmlDeviceGetClockInfo, nvmlClockType_t, unsigned int)
CHOICE(nvmlDeviceGetMaxClockInfo, nvmlClockType_t, unsigned int)
CHOICE(nvmlDeviceGetTemperatureThreshold, nvmlTemperatureThresholds_t, unsigned int)

nvmlReturn_t nvmlDeviceValidateInforom(nvmlDevice_t device) { return asked(device, "nvmlDeviceValidateInforom"); }

/* What needs a structure of the header. */
nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *out) {
    ASKED("nvmlDeviceGetPciInfo_v3");
    snprintf(out->busId, sizeof out->busId, "%s", about(board_of(device), "nvmlDeviceGetPciInfo_v3", "busId"));
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetPlatformInfo(nvmlDevice_t device, nvmlPlatformInfo_t *info) {
    const char *name = "nvmlDeviceGetPlatformInfo";
    ASKED(name);
    NEEDS(name, "hostId");
    nvmlPlatformInfo_v2_t *out = (nvmlPlatformInfo_v2_t *)info;
    if (out->version != NVML_STRUCT_VERSION(PlatformInfo, 2)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const char *chassis = about(board_of(device), name, "chassisSerialNumber");
    if (chassis) strncpy((char *)out->chassisSerialNumber, chassis, sizeof out->chassisSerialNumber);
    out->slotNumber = (unsigned char)TOLD(name, "slotNumber");
    out->trayIndex = (unsigned char)TOLD(name, "trayIndex");
    out->hostId = (unsigned char)TOLD(name, "hostId");
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *out) {
    ASKED("nvmlDeviceGetUtilizationRates");
    NEEDS("nvmlDeviceGetUtilizationRates", "gpu");
    out->gpu = (unsigned)TOLD("nvmlDeviceGetUtilizationRates", "gpu");
    out->memory = (unsigned)TOLD("nvmlDeviceGetUtilizationRates", "memory");
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *out) {
    const char *name = "nvmlDeviceGetMemoryInfo_v2";
    ASKED(name);
    if (out->version != NVML_STRUCT_VERSION(Memory, 2)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    out->total = TOLD(name, "total");
    out->reserved = TOLD(name, "reserved");
    out->used = TOLD(name, "used");
    out->free = out->total - out->reserved - out->used;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *out) {
    ASKED("nvmlDeviceGetBAR1MemoryInfo");
    out->bar1Used = TOLD("nvmlDeviceGetBAR1MemoryInfo", "bar1Used");
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *out) {
    ASKED("nvmlDeviceGetTemperatureV");
    if (out->version != NVML_STRUCT_VERSION(Temperature, 1)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (out->sensorType != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
    out->temperature = (int)TOLD("nvmlDeviceGetTemperatureV", "");
    return NVML_SUCCESS;
}
#ifndef OLDER_DRIVER
nvmlReturn_t nvmlDeviceGetMarginTemperature(nvmlDevice_t device, nvmlMarginTemperature_t *out) {
    ASKED("nvmlDeviceGetMarginTemperature");
    if (out->version != NVML_STRUCT_VERSION(MarginTemperature, 1)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    out->marginTemperature = (int)TOLD("nvmlDeviceGetMarginTemperature", "");
    return NVML_SUCCESS;
}
#endif
nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t *out) {
    const char *name = "nvmlDeviceGetGpuFabricInfoV";
    ASKED(name);
    unsigned int newest = NVML_STRUCT_VERSION(GpuFabricInfo, 3);
#ifdef OLDER_DRIVER
    newest = 0;
#endif
    if (out->version != newest && out->version != NVML_STRUCT_VERSION(GpuFabricInfo, 2)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const char *cluster = about(board_of(device), name, "clusterUuid");
    for (int at = 0; cluster && at < NVML_GPU_FABRIC_UUID_LEN; at++) {
        unsigned int byte = 0;
        sscanf(cluster + 2 * at, "%2x", &byte);
        out->clusterUuid[at] = (unsigned char)byte;
    }
    out->state = (nvmlGpuFabricState_t)TOLD(name, "state");
    out->status = (nvmlReturn_t)TOLD(name, "status");
    out->cliqueId = (unsigned)TOLD(name, "cliqueId");
    out->healthMask = (unsigned)TOLD(name, "healthMask");
    if (out->version == newest) out->healthSummary = (unsigned char)TOLD(name, "healthSummary");
    return NVML_SUCCESS;
}

/* Memory. */
nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t kind, nvmlEccCounterType_t counter, unsigned long long *out) {
    char part[32];
    snprintf(part, sizeof part, "%d.%d", kind, counter);
    ASKED("nvmlDeviceGetTotalEccErrors");
    *out = TOLD("nvmlDeviceGetTotalEccErrors", part);
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, nvmlMemoryErrorType_t kind, nvmlEccCounterType_t counter, nvmlMemoryLocation_t place, unsigned long long *out) {
    char part[32];
    snprintf(part, sizeof part, "%d.%d.%d", kind, counter, place);
    ASKED("nvmlDeviceGetMemoryErrorCounter");
    *out = TOLD("nvmlDeviceGetMemoryErrorCounter", part);
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetSramEccErrorStatus(nvmlDevice_t device, nvmlEccSramErrorStatus_t *status) {
    const char *name = "nvmlDeviceGetSramEccErrorStatus";
    ASKED(name);
    nvmlEccSramErrorStatus_v1_t *out = (nvmlEccSramErrorStatus_v1_t *)status;
    if (out->version != NVML_STRUCT_VERSION(EccSramErrorStatus, 1)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
#define SRAM(field) out->field = TOLD(name, #field)
    SRAM(aggregateUncParity); SRAM(aggregateUncSecDed); SRAM(aggregateCor);
    SRAM(volatileUncParity); SRAM(volatileUncSecDed); SRAM(volatileCor);
    SRAM(aggregateUncBucketL2); SRAM(aggregateUncBucketSm); SRAM(aggregateUncBucketPcie);
    SRAM(aggregateUncBucketMcu); SRAM(aggregateUncBucketOther); SRAM(bThresholdExceeded);
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int *corrected, unsigned int *uncorrected, unsigned int *pending, unsigned int *failed) {
    const char *name = "nvmlDeviceGetRemappedRows";
    ASKED(name);
    *corrected = (unsigned)TOLD(name, "0");
    *uncorrected = (unsigned)TOLD(name, "1");
    *pending = (unsigned)TOLD(name, "2");
    *failed = (unsigned)TOLD(name, "3");
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetRowRemapperHistogram(nvmlDevice_t device, nvmlRowRemapperHistogramValues_t *out) {
    const char *name = "nvmlDeviceGetRowRemapperHistogram";
    ASKED(name);
    out->max = (unsigned)TOLD(name, "max");
    out->high = (unsigned)TOLD(name, "high");
    out->partial = (unsigned)TOLD(name, "partial");
    out->low = (unsigned)TOLD(name, "low");
    out->none = (unsigned)TOLD(name, "none");
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetRepairStatus(nvmlDevice_t device, nvmlRepairStatus_t *out) {
    ASKED("nvmlDeviceGetRepairStatus");
    if (out->version != NVML_STRUCT_VERSION(RepairStatus, 1)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    out->bChannelRepairPending = (unsigned)TOLD("nvmlDeviceGetRepairStatus", "0");
    out->bTpcRepairPending = (unsigned)TOLD("nvmlDeviceGetRepairStatus", "1");
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetUnrepairableMemoryFlag_v1(nvmlDevice_t device, nvmlUnrepairableMemoryStatus_v1_t *out) {
    ASKED("nvmlDeviceGetUnrepairableMemoryFlag_v1");
    out->bUnrepairableMemory = (unsigned)TOLD("nvmlDeviceGetUnrepairableMemoryFlag_v1", "");
    return NVML_SUCCESS;
}

/* Processes: a first call without room learns how many there are. */
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *out) {
    const char *name = "nvmlDeviceGetComputeRunningProcesses_v3";
    ASKED(name);
    unsigned int there = (unsigned)TOLD(name, "count"), room = *count;
    *count = there;
    if (room < there) return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned int at = 0; out && at < there; at++) {
        char part[32];
        snprintf(part, sizeof part, "%u", at);
        out[at].pid = (unsigned)TOLD(name, part);
        snprintf(part, sizeof part, "%u.memory", at);
        out[at].usedGpuMemory = TOLD(name, part);
        out[at].gpuInstanceId = out[at].computeInstanceId = 0xFFFFFFFF;
    }
    return NVML_SUCCESS;
}

/* Fields: each entry has a verdict of its own. */
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *entries) {
    ASKED("nvmlDeviceGetFieldValues");
    for (int at = 0; at < count; at++) {
        nvmlFieldValue_t *entry = &entries[at];
        char part[64];
        snprintf(part, sizeof part, "%u.%u", entry->fieldId, entry->scopeId);
        const char *found = about(board_of(device), "field", part);
        snprintf(part, sizeof part, "field %u", entry->fieldId);
        entry->nvmlReturn = found ? (nvmlReturn_t)TOLD("field.fail", strrchr(part, ' ') + 1) : NVML_ERROR_NOT_SUPPORTED;
        if (entry->nvmlReturn) continue;
        int type = 0;
        long long value = 0;
        sscanf(found, "%d %lld", &type, &value);
        entry->valueType = (nvmlValueType_t)type;
        if (type == NVML_VALUE_TYPE_UNSIGNED_INT) entry->value.uiVal = (unsigned)value;
        else if (type == NVML_VALUE_TYPE_SIGNED_INT) entry->value.siVal = (int)value;
        else entry->value.ullVal = (unsigned long long)value;
    }
    return NVML_SUCCESS;
}

/* GPM: two samples of one board give its rates. */
nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *out) {
    ASKED("nvmlGpmQueryDeviceSupport");
    if (out->version != NVML_GPM_SUPPORT_VERSION) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    out->isSupportedDevice = (unsigned)TOLD("gpm", "");
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *out) {
    *out = (nvmlGpmSample_t)calloc(1, sizeof(long));
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample) {
    free(sample);
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t sample) {
    ASKED("nvmlGpmSampleGet");
    *(long *)sample = (long)device;
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *out) {
    if (out->version != NVML_GPM_METRICS_GET_VERSION) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    long device = *(long *)out->sample1;
    if (device != *(long *)out->sample2 || out->sample1 == out->sample2) return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned int at = 0; at < out->numMetrics; at++) {
        char part[16];
        snprintf(part, sizeof part, "%u", out->metrics[at].metricId);
        const char *found = about(device - 1, "gpm", part);
        out->metrics[at].nvmlReturn = found ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
        if (found) out->metrics[at].value = strtod(found, NULL);
    }
    return NVML_SUCCESS;
}

/* Events: those of the file, once each. */
nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *out) {
    *out = (nvmlEventSet_t)calloc(1, 8);
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
    free(set);
    return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
    (void)set;
    ASKED("nvmlDeviceRegisterEvents");
    return types & ~(unsigned long long)TOLD("nvmlDeviceGetSupportedEventTypes", "") ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}
nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *out, unsigned int timeout_ms) {
    (void)set;
    char part[16];
    snprintf(part, sizeof part, "%d", events_told);
    const char *found = about(-1, "event", part);
    long board = 0;
    if (!found || sscanf(found, "%ld %llu %llu", &board, &out->eventType, &out->eventData) != 3) {
        usleep(1000 * timeout_ms);
        return NVML_ERROR_TIMEOUT;
    }
    events_told++;
    out->device = (nvmlDevice_t)(board + 1);
    out->gpuInstanceId = out->computeInstanceId = 0xFFFFFFFF;
    return NVML_SUCCESS;
}
