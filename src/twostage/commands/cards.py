"""`twostage cards`: prints docs/datasets.md, from the cards of the datasets and conf/data/."""

from twostage.data.cards import document


def main() -> None:
    """Prints the document."""
    print(document(), end="")
