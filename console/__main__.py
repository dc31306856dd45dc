"""`python -m console serve`."""

from console.server import running_console
from console.settings import Settings
from service_kit import command, logs
from service_kit.hotpath import event_loop
from service_kit.lifecycle import until_stopped


async def serve(settings: Settings) -> None:
    async with running_console(settings):
        await until_stopped()


def main() -> None:
    command.parse("console", {"serve": "answer browsers until SIGTERM"}, Settings)
    settings = command.read_settings(Settings)
    logs.configure("console", settings.log_level, settings.log_format)
    try:
        event_loop.run(serve(settings))
    except RuntimeError as error:
        command.refuse(f"console: {error}")
    except OSError as error:
        command.refuse(f"console: cannot listen on {settings.listen}: {error.strerror}")


if __name__ == "__main__":
    main()
