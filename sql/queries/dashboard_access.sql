-- What comes before each query of the dashboard.

-- name: enter
-- For this transaction: only the right to read, and for whose eyes.
select
    set_config('role', 'fleetgauge_reader', true) as runs_as,
    set_config('fleetgauge.tenant', %(tenant)s, true) as tenant,
    set_config('fleetgauge.facility', %(facility)s, true) as facility,
    set_config('fleetgauge.role', %(role)s, true) as role;
